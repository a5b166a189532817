import type { Command } from "commander";

import { UsageError } from "./errors.js";

const SCRIPTS: Record<string, string> = {
  bash: `_devora() {
  local IFS=$'\\n'
  COMPREPLY=($(compgen -W "$(devora __complete "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)" -- "\${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _devora devora
`,
  zsh: `#compdef devora
_devora() {
  local -a candidates
  candidates=("\${(@f)$(devora __complete "\${(@)words[2,CURRENT]}" 2>/dev/null)}")
  compadd -a candidates
  [[ -z "$candidates" ]] && _files
}
compdef _devora devora
`,
  fish: `function __devora_complete
  set -l words (commandline -opc) (commandline -ct)
  devora __complete $words[2..-1] 2>/dev/null
end
complete -c devora -a '(__devora_complete)'
`,
};

export const SHELLS = Object.keys(SCRIPTS);

export function completionScript(shell: string): string {
  const script = SCRIPTS[shell];
  if (script === undefined) throw new UsageError(`unknown shell ${JSON.stringify(shell)}: expected ${SHELLS.join(", ")}`);
  return script;
}

/** What may stand where the last of `words` is being typed. */
export function candidates(program: Command, words: string[]): string[] {
  const typed = words.at(-1) ?? "";
  let command = program;
  for (const word of words.slice(0, -1)) {
    command = command.commands.find((each) => each.name() === word) ?? command;
  }
  const options = [...command.options, ...program.options].map((option) => option.long ?? "");
  const names = command.commands.map((each) => each.name());
  return [...new Set(typed.startsWith("-") ? options : names)].filter((word) => word.startsWith(typed)).sort();
}
