"""Drafts of TypeScript, CSS and HTML files."""

import json
from html import escape
from pathlib import PurePosixPath

from orchestrator.agents.artifacts import Artifact
from orchestrator.runtime.offline.answer import NOTICE_LINE
from orchestrator.runtime.offline.structured import design_tokens
from orchestrator.runtime.offline.subject import Subject
from orchestrator.runtime.offline.words import clean, kebab, pascal, plural

_COMPONENT = """\
export interface {name}Props {{
  label: string;
  onPress: () => void;
  disabled?: boolean;
}}

export function {name}({{ label, onPress, disabled = false }}: {name}Props) {{
  return (
    <button type="button" className="{css}" onClick={{onPress}} disabled={{disabled}}>
      {{label}}
    </button>
  );
}}
"""
_APP = """\
import {{ useState }} from "react";

interface Screen {{
  id: string;
  title: string;
  serves: string;
}}

const project = {project};

const screens: Screen[] = {screens};

export default function App() {{
  const [current, setCurrent] = useState<Screen>(screens[0]);
  return (
    <main>
      <h1>{{project}}</h1>
      <nav aria-label="Screens">
        {{screens.map((screen) => (
          <button key={{screen.id}} type="button" onClick={{() => setCurrent(screen)}}>
            {{screen.title}}
          </button>
        ))}}
      </nav>
      <section aria-live="polite">
        <h2>{{current.title}}</h2>
        <p>{{current.serves}}</p>
      </section>
    </main>
  );
}}
"""
_CLIENT = """\
export class ApiError extends Error {
  constructor(readonly status: number, message: string) {
    super(message);
  }
}

async function call<T>(base: string, path: string, init?: RequestInit): Promise<T> {
  const response = await fetch(base + path, { headers: { "Content-Type": "application/json" }, ...init });
  if (!response.ok) {
    throw new ApiError(response.status, await response.text());
  }
  return (await response.json()) as T;
}
"""
_RESOURCE = """
/** {text} */
export interface {name} {{
  id: string;
  name: string;
  created_at: string;
}}

export const {variable} = {{
  list: (base: string) => call<{name}[]>(base, "{path}"),
  get: (base: string, id: string) => call<{name}>(base, `{path}/${{encodeURIComponent(id)}}`),
  create: (base: string, name: string) =>
    call<{name}>(base, "{path}", {{ method: "POST", body: JSON.stringify({{ name }}) }}),
}};
"""
_PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <title>{title}</title>
</head>
<body>
  <p role="note">{notice}</p>
  <header><h1>{title}</h1><p>{about}</p></header>
  <nav aria-label="Screens"><ul>
{links}
  </ul></nav>
  <main>
{sections}
  </main>
</body>
</html>
"""
_SECTION = """\
    <section id="{id}"><h2>{title}</h2><p>{text}</p>
      <form><label>Search <input type="search" name="q"></label> <button type="submit">Find</button></form>
    </section>"""


def typescript_file(artifact: Artifact, subject: Subject) -> str:
    """The application, the API client, or a component, by the file's name."""
    path = PurePosixPath(artifact.path)
    head = f"// {NOTICE_LINE}\n// {clean(subject.name)}: {artifact.purpose}\n\n"
    if path.stem.lower() == "app":
        screens = [{"id": p.id, "title": pascal(p.name), "serves": p.text} for p in subject.points]
        return head + _APP.format(project=_literal(subject.name), screens=_literal(screens))
    if path.suffix == ".tsx":
        return head + _COMPONENT.format(
            name=pascal(path.stem.lower()) or "Part", css=f"{subject.slug}-{path.stem.lower()}"
        )
    resources = (
        _RESOURCE.format(
            text=clean(p.text).replace("*/", "* /"),
            name=pascal(p.name),
            variable=f"{plural(p.name)}_api",
            path=f"/{kebab(plural(p.name))}",
        )
        for p in subject.resources
    )
    return head + _CLIENT + "".join(resources)


def css_file(artifact: Artifact, subject: Subject) -> str:
    """The design tokens as custom properties, and a class for each part of the product."""
    groups = design_tokens(subject).items()
    properties = [f"  --{group}-{name}: {value};" for group, values in groups for name, value in values.items()]
    classes = [
        f".{subject.slug}-{kebab(p.name)} {{\n  color: var(--color-text);\n  padding: var(--space-l);\n}}"
        for p in subject.resources
    ]
    about = clean(f"{subject.name}: {artifact.purpose}").replace("*/", "* /")
    return "\n".join([f"/* {NOTICE_LINE} */", f"/* {about} */", ":root {", *properties, "}", *classes]) + "\n"


def html_file(artifact: Artifact, subject: Subject) -> str:
    """One semantic page with a section for every point."""
    links = (f'    <li><a href="#{p.id}">{escape(pascal(p.name))}</a></li>' for p in subject.points)
    sections = (_SECTION.format(id=p.id, title=escape(pascal(p.name)), text=escape(p.text)) for p in subject.points)
    return _PAGE.format(
        title=escape(subject.name),
        about=escape(f"{subject.about} ({artifact.purpose})"),
        notice=escape(NOTICE_LINE),
        links="\n".join(links),
        sections="\n".join(sections),
    )


def _literal(value: object) -> str:
    """A value as a JavaScript literal that is also harmless inside JSX."""
    return json.dumps(value, ensure_ascii=True, indent=2)
