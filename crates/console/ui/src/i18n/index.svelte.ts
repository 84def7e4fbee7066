import { en, type Catalogue, type TextKey } from './en';

export type Locale = 'en' | 'zh';
export type TextValues = Record<string, string | number>;

const ENGLISH = globalThis.navigator?.languages?.find((tag) => tag.startsWith('en')) ?? 'en';
const STORED = 'graywave-language';

/** Texts of the chosen language. English is in the first script; Chinese loads when it is chosen. */
class Language {
  locale = $state<Locale>('en');
  private catalogue = $state.raw<Catalogue>(en);

  async start(): Promise<void> {
    const stored = localStorage.getItem(STORED);
    const preferred = navigator.languages.find((tag) => /^(en|zh)\b/i.test(tag)) ?? 'en';
    await this.choose(stored === 'zh' || stored === 'en' ? stored : preferred.toLowerCase().startsWith('zh') ? 'zh' : 'en', false);
  }

  async choose(locale: Locale, store = true): Promise<void> {
    this.catalogue = locale === 'zh' ? (await import('./zh')).zh : en;
    this.locale = locale;
    document.documentElement.lang = locale === 'zh' ? 'zh-Hans' : 'en';
    if (store) localStorage.setItem(STORED, locale);
  }

  /** Language tag for numbers, plural forms and times; English in the viewer's own variety. */
  readonly tag = $derived(this.locale === 'zh' ? 'zh-Hans' : ENGLISH);

  text(key: TextKey, values: TextValues = {}): string {
    return formatText(this.catalogue[key] ?? key, values, this.tag);
  }
}

/** Fills `{name}`. A text `one | other` is chosen by the value `n`. */
export function formatText(text: string, values: TextValues, tag: string): string {
  const forms = text.split(' | ');
  let chosen = forms[0] ?? '';
  if (forms.length > 1) {
    const n = Number(values['n'] ?? 0);
    chosen = (new Intl.PluralRules(tag).select(n) === 'one' ? forms[0] : forms[1]) ?? '';
  }
  return chosen.replace(/\{(\w+)\}/g, (whole, name: string) => {
    const value = values[name];
    if (value === undefined) return whole;
    return typeof value === 'number' ? formatNumber(value, tag) : value;
  });
}

const numbers = new Map<string, Intl.NumberFormat>();

export function formatNumber(value: number, tag: string = language.tag): string {
  let format = numbers.get(tag);
  if (!format) numbers.set(tag, (format = new Intl.NumberFormat(tag, { maximumFractionDigits: 2 })));
  return format.format(value);
}

export const language = new Language();

/** Text of the catalogue; a number is written in the viewer's way. */
export const t = (key: TextKey, values?: TextValues): string => language.text(key, values);
/** A number in the viewer's way. */
export const n = (value: number): string => formatNumber(value, language.tag);
export type { TextKey };
