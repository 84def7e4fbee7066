/**
 * Order of a live list that does not move under the pointer: while the list is in use, known rows keep their places,
 * rows that left the list stay away, and new rows come last.
 */
export function stableOrder(shown: readonly string[], next: readonly string[], isInUse: boolean): string[] {
  if (!isInUse) return [...next];
  const wanted = new Set(next);
  const kept = shown.filter((id) => wanted.has(id));
  const known = new Set(kept);
  return [...kept, ...next.filter((id) => !known.has(id))];
}
