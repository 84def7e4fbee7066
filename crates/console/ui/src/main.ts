import './styles/tokens.css';
import './styles/base.css';

import { mount } from 'svelte';

import App from './App.svelte';
import { language } from './i18n/index.svelte';
import { preferences } from './lib/preferences.svelte';

const target = document.getElementById('app');
if (!target) throw new Error('index.html lacks the element #app');
preferences.start();
await language.start();
mount(App, { target });
