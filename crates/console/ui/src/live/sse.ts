/** One message of an event stream. */
export interface Frame {
  event: string;
  data: string;
  id: string | null;
  retryMs: number | null;
}

const MAX_LINE = 4 * 1024 * 1024;

/** Splits the text of an event stream into messages, in any number of parts. */
export class SseParser {
  private rest = '';
  private event = '';
  private data: string[] = [];
  private id: string | null = null;
  private retryMs: number | null = null;

  push(text: string): Frame[] {
    this.rest += text;
    if (this.rest.length > MAX_LINE) throw new Error(`a line of the event stream is longer than ${MAX_LINE} characters`);
    const lines = this.rest.split(/\r\n|\n|\r(?!$)/);
    this.rest = lines.pop() ?? '';
    const frames: Frame[] = [];
    for (const line of lines) {
      if (line !== '') this.field(line);
      else if (this.data.length > 0 || this.retryMs !== null) frames.push(this.finish());
    }
    return frames;
  }

  private field(line: string): void {
    const colon = line.indexOf(':');
    if (colon === 0) return;
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
    if (name === 'event') this.event = value;
    else if (name === 'data') this.data.push(value);
    else if (name === 'id') this.id = value;
    else if (name === 'retry' && /^\d+$/.test(value)) this.retryMs = Number(value);
  }

  private finish(): Frame {
    const frame = { event: this.event || 'message', data: this.data.join('\n'), id: this.id, retryMs: this.retryMs };
    this.event = '';
    this.data = [];
    this.id = null;
    this.retryMs = null;
    return frame;
  }
}
