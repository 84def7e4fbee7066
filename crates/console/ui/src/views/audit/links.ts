/** Views that show an audited resource: `task:ID`, `script:ID`, `desktop:ID`, possibly several, by blanks. */
export interface ResourcePart {
  text: string;
  /** Address below `#`, if a view shows the resource. */
  path: string | null;
}

const VIEW: Record<string, string> = { task: '/tasks/', script: '/scripts/', desktop: '/desktops/' };

export function resourceParts(resource: string): ResourcePart[] {
  return resource.split(' ').filter(Boolean).map((text) => {
    const [kind = '', id = ''] = text.split(/:(.*)/s);
    const view = VIEW[kind];
    return { text, path: view && id !== '' && id !== '*' ? `${view}${encodeURIComponent(id)}` : null };
  });
}
