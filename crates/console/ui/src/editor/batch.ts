import type { StreamParser } from '@codemirror/language';

const WORDS =
  /^(?:assoc|attrib|call|cd|chdir|choice|cls|copy|del|dir|do|echo|else|endlocal|equ|erase|exist|exit|for|ftype|geq|goto|gtr|if|in|leq|lss|md|mkdir|move|neq|not|pause|popd|pushd|rd|reg|ren|rename|rmdir|set|setlocal|shift|start|taskkill|timeout|title|type|ver|xcopy)\b/i;

/** Highlighting of Windows batch files. */
export const batch: StreamParser<Record<string, never>> = {
  name: 'batch',
  startState: () => ({}),
  token(stream) {
    if (stream.sol()) {
      stream.eatSpace();
      if (stream.match(/^@?(?:rem\b|::).*/i)) return 'comment';
      if (stream.match(/^:[\w.-]+/)) return 'labelName';
    }
    if (stream.eatSpace()) return null;
    if (stream.match(/^%(?:\*|~[a-z]*\d|\d)|^%[^%\s]+%|^%%~?[a-z]+|^![^!\s]+!/i)) return 'variableName';
    if (stream.match(/^"[^"]*"?/)) return 'string';
    if (stream.match(/^\d+\b/)) return 'number';
    if (stream.match(WORDS)) return 'keyword';
    if (stream.match(/^(?:==|&&|\|\||[<>|&@])/)) return 'operator';
    if (!stream.match(/^[\w.\\:/-]+/)) stream.next();
    return null;
  },
};
