import type { Catalogue } from '../en';
import { common } from './common';
import { home } from './home';
import { signIn } from './sign-in';
import { task } from './task';
import { rollout } from './rollout';
import { scripts } from './scripts';
import { desktops } from './desktops';
import { workers } from './workers';
import { audit } from './audit';
import { access } from './access';

/** Every text in Simplified Chinese. A missing one fails svelte-check and tests/unit/i18n.test.ts. */
export const zh: Catalogue = { ...common, ...home, ...signIn, ...task, ...access, ...audit, ...workers, ...desktops, ...scripts, ...rollout };
