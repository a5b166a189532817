/** What `devora config` keeps: a JSON file that only its owner may read. */
import { chmodSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join } from "node:path";

import { UsageError } from "./errors.js";

export const SETTINGS = ["api-key", "base-url"] as const;
export type Setting = (typeof SETTINGS)[number];
export type Config = { [Name in Setting | "listen-secret"]?: string };

const OTHERS = 0o077;

export function configPath(): string {
  const { DEVORA_CONFIG, XDG_CONFIG_HOME, APPDATA } = process.env;
  if (DEVORA_CONFIG) return DEVORA_CONFIG;
  const folder = process.platform === "win32" ? APPDATA : XDG_CONFIG_HOME;
  return join(folder || join(homedir(), ".config"), "devora", "config.json");
}

export function readConfig(): Config {
  const path = configPath();
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return {};
    throw new UsageError(`cannot read ${path}: ${(error as Error).message}`);
  }
  if (process.platform !== "win32" && statSync(path).mode & OTHERS) {
    process.stderr.write(`warning: others can read the API key in ${path}: run chmod 600 on it\n`);
  }
  try {
    const config: unknown = JSON.parse(text);
    if (typeof config === "object" && config !== null && !Array.isArray(config)) return config as Config;
  } catch {
    // Named below, like JSON that is no object.
  }
  throw new UsageError(`${path} is not a JSON object: correct or delete it`);
}

/** Writes the file at once or not at all; its mode is 0600 from the beginning. */
export function writeConfig(config: Config): void {
  const path = configPath();
  const draft = `${path}.${process.pid}.tmp`;
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  try {
    writeFileSync(draft, `${JSON.stringify(config, null, 2)}\n`, { mode: 0o600, flag: "wx" });
    chmodSync(draft, 0o600);
    renameSync(draft, path);
  } catch (error) {
    rmSync(draft, { force: true });
    throw new UsageError(`cannot write ${path}: ${(error as Error).message}`);
  }
}

export function settingOf(name: string): Setting {
  if (!(SETTINGS as readonly string[]).includes(name)) throw new UsageError(`unknown setting ${JSON.stringify(name)}: expected ${SETTINGS.join(" or ")}`);
  return name as Setting;
}

/** The value as it may be shown. */
export function shown(name: string, value: string): string {
  return name === "base-url" ? value : `${value.slice(0, 12)}…`;
}
