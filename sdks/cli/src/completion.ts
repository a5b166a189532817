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
  if [[ -n "$candidates" ]]; then compadd -a candidates; else _files; fi
}
# In a folder of \$fpath this file is the function itself; otherwise it was sourced.
if [[ "\${funcstack[1]}" == _devora ]]; then
  _devora "$@"
else
  (( $+functions[compdef] )) || { autoload -Uz compinit && compinit }
  compdef _devora devora
fi
`,
  fish: `function __devora_complete
  set -l words (commandline -opc) (commandline -ct)
  devora __complete $words[2..-1] 2>/dev/null
end
complete -c devora -f -a '(__devora_complete)'
complete -c devora -l input -r -F
complete -c devora -l output -r -F
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
  let takesValue = false;
  for (const word of words.slice(0, -1)) {
    const option = [...command.options, ...program.options].find((each) => each.long === word);
    if (!takesValue) command = command.commands.find((each) => each.name() === word) ?? command;
    takesValue = option?.required ?? false;
  }
  if (takesValue) return []; // the shell offers files
  const options = [...command.options, ...program.options].map((option) => option.long ?? "");
  const names = command.commands.map((each) => each.name());
  return [...new Set(typed.startsWith("-") ? options : names)].filter((word) => word.startsWith(typed)).sort();
}
