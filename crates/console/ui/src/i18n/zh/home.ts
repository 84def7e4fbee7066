import type { home as english } from '../en/home';

export const home: Record<keyof typeof english, string> = {
};
