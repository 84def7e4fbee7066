import type { task as english } from '../en/task';

export const task: Record<keyof typeof english, string> = {
};
