import { common } from './common';
import { home } from './home';
import { signIn } from './sign-in';
import { task } from './task';
import { rollout } from './rollout';
import { scripts } from './scripts';

/** Every English text. A file for each view; keys begin with the file's name. */
export const en = { ...common, ...home, ...signIn, ...task, ...scripts, ...rollout } as const;

export type TextKey = keyof typeof en;
export type Catalogue = Record<TextKey, string>;
