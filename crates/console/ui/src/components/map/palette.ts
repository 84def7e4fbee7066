import { CODES } from '../../lib/map-codes';
import type { Palette } from './painter';

/** Colours of failure groups, told apart in both themes; the list beside the map has their names. */
export const GROUP_COLORS = ['--group-1', '--group-2', '--group-3', '--group-4', '--group-5', '--group-6'] as const;

/** Reads the tokens of the present theme from an element. */
export function readPalette(element: HTMLElement): Palette {
  const probe = document.createElement('span');
  element.append(probe);
  const canvas = document.createElement('canvas');
  canvas.width = canvas.height = 1;
  const context = canvas.getContext('2d', { willReadFrequently: true });
  const resolve = (token: string): string => {
    probe.style.color = `var(${token})`;
    return getComputedStyle(probe).color;
  };
  const pixel = (token: string): number => {
    if (!context) return 0;
    context.clearRect(0, 0, 1, 1);
    context.fillStyle = resolve(token);
    context.fillRect(0, 0, 1, 1);
    const [r = 0, g = 0, b = 0] = context.getImageData(0, 0, 1, 1).data;
    return ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;
  };
  const cells = new Uint32Array(256).fill(pixel('--cell-pending'));
  for (const { code, color } of CODES) cells[code] = pixel(color);
  const groups = new Uint32Array(256).fill(pixel('--cell-pending'));
  GROUP_COLORS.forEach((token, index) => (groups[index + 1] = pixel(token)));
  const palette: Palette = {
    cells,
    groups,
    ground: pixel('--cell-ground'),
    selection: resolve('--cell-selection'),
    cursor: resolve('--cell-cursor'),
    mark: resolve('--cell-mark'),
  };
  probe.remove();
  return palette;
}
