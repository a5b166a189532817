/** What `devora config` keeps: a JSON file that only its owner may read. */
import { chmodSync, existsSync, mkdirSync, readFileSync, realpathSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
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
    if (!statSync(path).isFile()) throw new UsageError(`${path} is not a file: DEVORA_CONFIG selects another`);
    text = readFileSync(path, "utf8");
  } catch (error) {
    if (error instanceof UsageError) throw error;
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return {};
    throw new UsageError(`cannot read ${path}: ${(error as Error).message}`);
  }
  if (process.platform !== "win32" && statSync(path).mode & OTHERS) {
    process.stderr.write(`warning: others can read the API key in ${path}: run chmod 600 on it\n`);
  }
  let config: unknown;
  try {
    config = JSON.parse(text);
  } catch {
    // Named below, like JSON that is no object.
  }
  if (typeof config !== "object" || config === null || Array.isArray(config)) throw new UsageError(`${path} is not a JSON object: correct or delete it`);
  const wrong = Object.entries(config).find(([, value]) => typeof value !== "string");
  if (wrong !== undefined) throw new UsageError(`${path}: ${wrong[0]} is not a text: correct or delete it`);
  return config as Config;
}

/** Writes the file at once or not at all; its mode is 0600 from the beginning. A link to the file stays a link. */
export function writeConfig(config: Config): void {
  const path = existsSync(configPath()) ? realpathSync(configPath()) : configPath();
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
  return name === "base-url" ? value : `${value.slice(0, Math.min(12, Math.floor(value.length / 3)))}…`;
}
