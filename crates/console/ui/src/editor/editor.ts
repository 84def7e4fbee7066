import { defaultKeymap, history, historyKeymap, indentWithTab } from '@codemirror/commands';
import { bracketMatching, HighlightStyle, indentUnit, StreamLanguage, syntaxHighlighting, type StreamParser } from '@codemirror/language';
import { lintGutter, lintKeymap, setDiagnostics, type Diagnostic } from '@codemirror/lint';
import { unifiedMergeView } from '@codemirror/merge';
import { highlightSelectionMatches, search, searchKeymap } from '@codemirror/search';
import { Compartment, EditorState, type Extension } from '@codemirror/state';
import { drawSelection, EditorView, highlightActiveLine, keymap, lineNumbers } from '@codemirror/view';
import { tags } from '@lezer/highlight';

import type { Dialect } from '../lib/lint';

export interface EditorOptions {
  parent: HTMLElement;
  text: string;
  label: string;
  dialect: Dialect;
  isReadOnly: boolean;
  /** Text to compare with; the view shows both in one column. */
  original?: string;
  /** Words of the editor's own panels, by their English text. */
  phrases: Record<string, string>;
  onchange: (text: string) => void;
}

export interface Editor {
  setText(text: string): void;
  setDialect(dialect: Dialect): void;
  setProblems(problems: Diagnostic[]): void;
  focus(): void;
  destroy(): void;
}

async function parserOf(dialect: Dialect): Promise<StreamParser<unknown>> {
  switch (dialect) {
    case 'python':
      return (await import('@codemirror/legacy-modes/mode/python')).python as StreamParser<unknown>;
    case 'powershell':
      return (await import('@codemirror/legacy-modes/mode/powershell')).powerShell as StreamParser<unknown>;
    case 'batch':
      return (await import('./batch')).batch as StreamParser<unknown>;
    default:
      return (await import('@codemirror/legacy-modes/mode/shell')).shell as StreamParser<unknown>;
  }
}

/**
 * Mounts CodeMirror in a shadow root. There its styles are constructed sheets, which the content security policy
 * allows; in the document it would insert a style element, which the policy blocks.
 */
export function mountEditor(options: EditorOptions): Editor {
  const root = options.parent.shadowRoot ?? options.parent.attachShadow({ mode: 'open' });
  const language = new Compartment();
  const view = new EditorView({
    root,
    parent: root as unknown as Element,
    state: EditorState.create({ doc: options.text, extensions: extensionsOf(options, language) }),
  });
  let dialect: Dialect | null = null;
  const editor: Editor = {
    setText(text) {
      if (text === textOf(view)) return;
      view.dispatch({ changes: { from: 0, to: view.state.doc.length, insert: text } });
    },
    setDialect(next) {
      if (next === dialect) return;
      dialect = next;
      void parserOf(next).then((parser) => {
        if (dialect === next) view.dispatch({ effects: language.reconfigure(StreamLanguage.define(parser)) });
      });
    },
    setProblems(problems) {
      const end = view.state.doc.length;
      const inside = problems.map((problem) => ({ ...problem, from: Math.min(problem.from, end), to: Math.min(problem.to, end) }));
      view.dispatch(setDiagnostics(view.state, inside));
    },
    focus: () => view.focus(),
    destroy: () => view.destroy(),
  };
  editor.setDialect(options.dialect);
  return editor;
}

/** CodeMirror counts each line end as one character; the text keeps the line ends that it came with. */
const textOf = (view: EditorView): string => view.state.sliceDoc();

function extensionsOf(options: EditorOptions, language: Compartment): Extension[] {
  const { isReadOnly, original, onchange } = options;
  return [
    // Keeps carriage returns as they are: a script's bytes never change because it was shown.
    EditorState.lineSeparator.of('\n'),
    EditorState.phrases.of(options.phrases),
    EditorView.contentAttributes.of({
      'aria-label': options.label,
      autocapitalize: 'off',
      autocorrect: 'off',
      spellcheck: 'false',
      'data-gramm': 'false',
    }),
    language.of([]),
    lineNumbers(),
    drawSelection(),
    indentUnit.of('    '),
    bracketMatching(),
    highlightSelectionMatches(),
    search({ top: true }),
    syntaxHighlighting(colours),
    theme,
    EditorView.lineWrapping,
    isReadOnly
      ? [EditorState.readOnly.of(true)]
      : [history(), highlightActiveLine(), lintGutter(), EditorView.updateListener.of((update) => {
          if (update.docChanged) onchange(update.state.sliceDoc());
        })],
    original === undefined
      ? []
      : unifiedMergeView({ original, mergeControls: false, collapseUnchanged: { margin: 3, minSize: 6 }, gutter: true }),
    // Escape, then Tab leaves the editor: CodeMirror's tab focus mode.
    keymap.of([...defaultKeymap, ...historyKeymap, ...searchKeymap, ...lintKeymap, ...(isReadOnly ? [] : [indentWithTab])]),
  ];
}

const colours = HighlightStyle.define([
  { tag: [tags.keyword, tags.operatorKeyword, tags.controlKeyword], color: 'var(--code-keyword)', fontWeight: '600' },
  { tag: [tags.string, tags.special(tags.string)], color: 'var(--code-string)' },
  { tag: [tags.comment, tags.lineComment, tags.meta], color: 'var(--muted)', fontStyle: 'italic' },
  { tag: [tags.variableName, tags.definition(tags.variableName), tags.labelName], color: 'var(--code-name)' },
  { tag: [tags.number, tags.bool, tags.atom], color: 'var(--code-number)' },
  { tag: [tags.standard(tags.name), tags.standard(tags.variableName)], color: 'var(--code-builtin)' },
]);

const theme = EditorView.theme({
  '&': { height: '100%', color: 'var(--text)', backgroundColor: 'var(--surface)', fontSize: '13px' },
  '&.cm-focused': { outline: '2px solid var(--focus)', outlineOffset: '-2px' },
  '.cm-scroller': { fontFamily: 'var(--mono)', lineHeight: '1.55', overflow: 'auto' },
  '.cm-content': { caretColor: 'var(--text)', padding: '8px 0' },
  '.cm-cursor': { borderLeftColor: 'var(--text)' },
  '.cm-gutters': { backgroundColor: 'var(--page)', color: 'var(--muted)', border: 'none' },
  '.cm-activeLine': { backgroundColor: 'color-mix(in oklab, var(--hover) 55%, transparent)' },
  '&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground': {
    backgroundColor: 'var(--selected)',
  },
  '.cm-tooltip': { backgroundColor: 'var(--raised)', color: 'var(--text)', border: '1px solid var(--line-strong)' },
  '.cm-panels': { backgroundColor: 'var(--page)', color: 'var(--text)', borderColor: 'var(--line)' },
  '.cm-textfield': { backgroundColor: 'var(--surface)', border: '1px solid var(--line-strong)' },
  '.cm-button': { backgroundImage: 'none', backgroundColor: 'var(--surface)', border: '1px solid var(--line-strong)' },
  '.cm-insertedLine, .cm-changedLine': { backgroundColor: 'var(--ok-soft) !important' },
  '.cm-deletedChunk': { backgroundColor: 'var(--bad-soft) !important' },
  '.cm-changedText, .cm-insertedLine .cm-changedText': {
    background: 'color-mix(in oklab, var(--ok) 22%, transparent) !important',
  },
  '.cm-deletedChunk .cm-deletedText': { background: 'color-mix(in oklab, var(--bad) 22%, transparent) !important' },
  '.cm-collapsedLines': { background: 'var(--sunken)', color: 'var(--muted)' },
});
