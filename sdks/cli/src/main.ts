#!/usr/bin/env node
import { VERSION, wireOf } from "@devora/sdk";
import { Command, Option } from "commander";

import { candidates, completionScript, SHELLS } from "./completion.js";
import { configPath, readConfig, settingOf, SETTINGS, shown, writeConfig } from "./config.js";
import { EXIT, explained, UsageError } from "./errors.js";
import { readInput, readStandardInput } from "./input.js";
import { added, controlJobs, listJobs, listQuestions, numberOf, openQuestion, positive, printOutput, showJob, startJob, watchJob, withStartOptions, type StartOptions } from "./jobs.js";
import { listen } from "./listen.js";
import { note, print, printJson, shortened, table } from "./output.js";
import { addSchedules } from "./schedules.js";
import { Session, type GlobalOptions } from "./session.js";

let session = new Session({});
let exitCode: number = EXIT.done;

const program = new Command("devora")
  .description("Agents, workflows and jobs of the Devora API.")
  .version(VERSION)
  .addOption(new Option("--api-key <key>", "instead of DEVORA_API_KEY; - reads it from standard input"))
  .addOption(new Option("--base-url <url>", "instead of DEVORA_BASE_URL"))
  .option("--json", "print JSON, under the names of the API")
  .option("--timeout <seconds>", "how long one request may take", positive)
  .showHelpAfterError("(--help shows what there is)")
  .exitOverride()
  .hook("preAction", () => {
    session = new Session(program.opts<GlobalOptions>());
  });
program.addHelpText(
  "after",
  `
Exit codes: 0 done, 1 the job failed or was cancelled, 2 the command is wrong or was refused, 3 the API cannot be
reached or cannot answer now, 130 interrupted.`,
);

const config = program.command("config").description("settings that are kept in a file only you can read");
config
  .command("set <name> [value]")
  .description(`keep a setting (${SETTINGS.join(", ")}); without a value, or with -, it is read from standard input`)
  .action((name: string, value: string | undefined) => {
    const setting = settingOf(name);
    const text = (value === undefined || value === "-" ? readStandardInput() : value).trim();
    if (!/^[\x21-\x7e]+$/.test(text)) throw new UsageError(`the value of ${setting} is empty or contains invalid characters`);
    writeConfig({ ...readConfig(), [setting]: text });
    note(`${setting} is kept in ${configPath()}`);
  });
config
  .command("get <name>")
  .description("print a setting; of the key only its beginning")
  .action((name: string) => {
    const value = readConfig()[settingOf(name)];
    if (value === undefined) throw new UsageError(`${name} is not set in ${configPath()}`);
    print(shown(name, value));
  });
config
  .command("unset <name>")
  .description("forget a setting")
  .action((name: string) => {
    const { [settingOf(name)]: _, ...rest } = readConfig();
    writeConfig(rest);
  });
config
  .command("list")
  .description("print every setting")
  .action(() => {
    const kept = Object.entries(readConfig()).map(([name, value]): [string, string] => [name, shown(name, value)]);
    if (session.json) printJson(Object.fromEntries(kept));
    else print(table(["SETTING", "VALUE"], kept));
  });

const agents = program.command("agents").description("run agents");
agents
  .command("list")
  .description("every agent")
  .action(async () => {
    const list = await session.client().agents.list(session.call);
    if (session.json) return printJson(wireOf(list));
    print(table(["AGENT", "SQUAD", "STATUS", "NAME"], list.agents.map((agent) => [agent.id, agent.squad, agent.status, agent.name])));
  });
agents
  .command("show <agent_id>")
  .description("one agent, with its input schema")
  .action(async (agentId: string) => printJson(shortened(session, wireOf(await session.client().agents.get(agentId, session.call)))));
withStartOptions(agents.command("execute <agent_id>").description("run one agent and print its answer")).action(
  (agentId: string, options: StartOptions) =>
    startJob(session, options, (client, request, call) => client.agents.execute({ ...request, agentId }, { ...session.call, ...call })),
);

const workflows = program.command("workflows").description("run workflows");
workflows
  .command("list")
  .description("every workflow")
  .action(async () => {
    const list = await session.client().workflows.list(session.call);
    if (session.json) return printJson(wireOf(list));
    const rows = list.workflows.map((each) => [each.id, each.agentsCount, each.estimatedTime, each.estimatedCost, each.name]);
    print(table(["WORKFLOW", "AGENTS", "TIME", "COST", "NAME"], rows));
  });
workflows
  .command("show <workflow_id>")
  .description("one workflow, with its steps and its input schema")
  .action(async (workflowId: string) => printJson(shortened(session, wireOf(await session.client().workflows.get(workflowId, session.call)))));
withStartOptions(workflows.command("run <workflow_id>").description("run one workflow and print its output")).action(
  (workflowId: string, options: StartOptions) =>
    startJob(session, options, (client, request, call) => client.workflows.run({ ...request, workflowId }, { ...session.call, ...call })),
);

const jobs = program.command("jobs").description("look at jobs and control them");
jobs
  .command("list")
  .description("the newest jobs")
  .option("--status <status>", "queued, running, completed, failed or cancelled")
  .option("--since <time>", "created at or after this time, such as 2026-11-26T08:00:00Z")
  .option("--agent <agent_id>")
  .option("--workflow <workflow_id>")
  .option("--label <name:value>", "only jobs with this label; may be repeated", added)
  .option("--needs-attention", "only jobs that a person has to look at")
  .option("--limit <number>", "how many", numberOf, 20)
  .action((options: Parameters<typeof listJobs>[1]) => listJobs(session, options));
jobs
  .command("show <job_id>")
  .description("one job: where it is, why, and its calls")
  .action((jobId: string) => showJob(session, jobId));
jobs
  .command("watch <job_id>")
  .description("follow a job to its end; with --json one event per line")
  .action((jobId: string) => watchJob(session, jobId));
jobs
  .command("output <job_id>")
  .description("print what a job produced")
  .option("--output <file>", "write it to this file, as JSON")
  .action((jobId: string, options: { output?: string }) => printOutput(session, jobId, options.output));
jobs
  .command("cancel <job_id...>")
  .description("cancel jobs")
  .option("--reason <text>", "why", "")
  .action(async (ids: string[], { reason }: { reason: string }) => {
    exitCode = await controlJobs(session, ids, "cancelled", (job) => job.cancel(reason, session.call));
  });
for (const [name, done] of [["approve", "approved"], ["reject", "rejected"]] as const) {
  jobs
    .command(`${name} <job_id>`)
    .description(name === "approve" ? "let a waiting step run" : "refuse a waiting step")
    .option("--step <step>", "needed if more than one step waits")
    .option("--note <text>", "for the record", "")
    .action(async (jobId: string, { step, note: text }: { step?: string; note: string }) => {
      const decision = { note: text, ...(step === undefined ? {} : { step }) };
      exitCode = await controlJobs(session, [jobId], done, (job) => job[name](decision, session.call));
    });
}
for (const [name, done] of [["pause", "paused"], ["resume", "resumed"]] as const) {
  jobs
    .command(`${name} <job_id...>`)
    .description(name === "pause" ? "start nothing new in jobs" : "let paused jobs go on")
    .option("--note <text>", "for the record", "")
    .action(async (ids: string[], { note: text }: { note: string }) => {
      exitCode = await controlJobs(session, ids, done, (job) => job[name](text, session.call));
    });
}
jobs
  .command("questions <job_id>")
  .description("the questions of a job to people, with the form of each answer")
  .action((jobId: string) => listQuestions(session, jobId));
jobs
  .command("answer <job_id>")
  .description("answer a question of a job")
  .option("--step <question>", "the id of the question, or its step; needed if more than one is open")
  .option("--values <json|file|->", "the answer: inline JSON, the path of a JSON file, or - for standard input", "{}")
  .option("--note <text>", "for the record", "")
  .action(async (jobId: string, options: { step?: string; values: string; note: string }) => {
    const values = readInput(options.values, "--values");
    const answer = { step: options.step ?? (await openQuestion(session, jobId)), values, note: options.note };
    exitCode = await controlJobs(session, [jobId], "answered", (job) => job.answer(answer, session.call));
  });
jobs
  .command("signal <job_id> <name>")
  .description("send a signal that the job's workflow declares")
  .option("--input <json|file|->", "the input of the signal, a JSON object")
  .action(async (jobId: string, name: string, { input }: { input?: string }) => {
    const value = input === undefined ? undefined : readInput(input);
    exitCode = await controlJobs(session, [jobId], "signalled", (job) => job.signal(name, value, session.call));
  });
jobs
  .command("retry <job_id>")
  .description("start a job that finishes one that failed; prints its id")
  .action(async (jobId: string) => {
    const job = await session.client().jobs.retry(jobId, session.call);
    if (session.json) printJson(wireOf(job.accepted as object));
    else print(job.id);
  });

addSchedules(program, () => session);

const webhooks = program.command("webhooks").description("webhooks of the account");
webhooks
  .command("list")
  .description("every webhook")
  .action(async () => {
    const rows = [];
    for await (const webhook of session.client().webhooks.list({ limit: 100 }, session.call)) rows.push(webhook);
    if (session.json) return printJson(rows.map(wireOf));
    print(table(["WEBHOOK", "ACTIVE", "EVENTS", "URL"], rows.map((each) => [each.id, each.active ? "yes" : "no", each.events.join(","), each.url])));
  });
webhooks
  .command("listen")
  .description("post this account's events to a local address, signed like a webhook's deliveries")
  .requiredOption("--forward-to <url>", "for example http://localhost:3000/hook, or a port")
  .option("--events <names>", "events of webhooks, with commas (default job.completed,job.failed)")
  .option("--secret <secret>", "signs the posts, instead of the one that is kept")
  .option("--after <id>", "begin after this event of an earlier run (--json prints ids); 0: the oldest stored event")
  .action((options: Parameters<typeof listen>[1]) => {
    session.onInterrupt("stopped");
    return listen(session, options);
  });

program
  .command("completion <shell>")
  .description(`print the completion script for ${SHELLS.join(", ")}`)
  .action((shell: string) => print(completionScript(shell)));
process.on("SIGINT", () => {
  const farewell = session.interrupt();
  if (farewell) note(`\n${farewell}`.trimStart());
  process.exit(EXIT.interrupted);
});
// A reader such as `head` that has enough is no error.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(EXIT.done);
  note(`devora: cannot write standard output: ${error.message}`);
  process.exit(EXIT.usage);
});

try {
  // Asked by the completion scripts: what is being typed must not be parsed.
  if (process.argv[2] === "__complete") print(candidates(program, process.argv.slice(3)).join("\n"));
  else await program.parseAsync();
} catch (error) {
  const { code, message } = explained(error);
  if (message) note(`devora: ${message}`);
  exitCode = code;
}
process.exitCode = exitCode;
