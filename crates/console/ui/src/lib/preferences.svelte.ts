export type Theme = 'auto' | 'light' | 'dark';

const STORED = 'graywave-theme';

class Preferences {
  theme = $state<Theme>('auto');

  start(): void {
    const stored = localStorage.getItem(STORED);
    this.chooseTheme(stored === 'light' || stored === 'dark' ? stored : 'auto');
  }

  chooseTheme(theme: Theme): void {
    this.theme = theme;
    if (theme === 'auto') delete document.documentElement.dataset['theme'];
    else document.documentElement.dataset['theme'] = theme;
    localStorage.setItem(STORED, theme);
  }
}

export const preferences = new Preferences();
