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

/** Every English text. A file for each view; keys begin with the file's name. */
export const en = { ...common, ...home, ...signIn, ...task, ...access, ...audit, ...workers, ...desktops, ...scripts, ...rollout } as const;

export type TextKey = keyof typeof en;
export type Catalogue = Record<TextKey, string>;
