import { wireOf, type Schedule, type SpecRequest } from "@devora/sdk";
import type { Command } from "commander";

import { UsageError } from "./errors.js";
import { readInput } from "./input.js";
import { numberOf } from "./jobs.js";
import { print, printJson, table } from "./output.js";
import type { Session } from "./session.js";

interface CreateOptions {
  agent?: string;
  workflow?: string;
  input: string;
  cron: string[];
  every?: number;
  timeZone?: string;
  spec?: string;
  overlap?: string;
  name?: string;
  paused?: boolean;
  idempotencyKey?: string;
}

/** The commands of schedules. */
export function addSchedules(program: Command, session: () => Session): void {
  const schedules = program.command("schedules").description("jobs that start at their times");
  schedules
    .command("list")
    .description("every schedule")
    .action(async () => {
      const rows = [];
      for await (const schedule of session().client().schedules.list({ limit: 100 }, session().call)) rows.push(schedule);
      if (session().json) return printJson(rows.map(wireOf));
      print(table(["SCHEDULE", "RUNS", "PAUSED", "NEXT", "NAME"], rows.map(row)));
    });
  schedules
    .command("show <schedule_id>")
    .description("one schedule: its next five times and its last runs")
    .action(async (id: string) => show(session(), await session().client().schedules.get(id, session().call)));
  schedules
    .command("create")
    .description("create a schedule of an agent or a workflow")
    .option("--agent <agent_id>")
    .option("--workflow <workflow_id>")
    .option("--input <json|file|->", "the input of each run", "{}")
    .option("--cron <expression>", "five fields, such as '0 6 * * MON-FRI'; may be repeated", (text: string, before: string[]) => [...before, text], [])
    .option("--every <seconds>", "an interval", numberOf)
    .option("--time-zone <name>", "of --cron, such as Europe/Paris (default UTC)")
    .option("--spec <json|file|->", "the times in full, instead of --cron, --every and --time-zone")
    .option("--overlap <policy>", "skip, buffer_one, buffer_all, cancel_other, terminate_other or allow_all")
    .option("--name <name>")
    .option("--paused", "create it paused")
    .option("--idempotency-key <key>", "the same key and request create one schedule, however often the command runs")
    .action((options: CreateOptions) => create(session(), options));
  for (const name of ["pause", "unpause"] as const) {
    schedules
      .command(`${name} <schedule_id>`)
      .description(name === "pause" ? "start no runs" : "start runs again")
      .option("--note <text>", "for the record", "")
      .action(async (id: string, { note }: { note: string }) => show(session(), await session().client().schedules[name](id, note, session().call)));
  }
  schedules
    .command("trigger <schedule_id>")
    .description("start a run now; prints the id of its job")
    .option("--overlap <policy>", "instead of the schedule's own")
    .action(async (id: string, options: { overlap?: string }) => {
      const result = await session().client().schedules.trigger(id, options, session().call);
      if (session().json) return printJson(wireOf(result));
      if (result.jobId === null) throw new UsageError("the overlap policy held the run back");
      print(result.jobId);
    });
  schedules
    .command("backfill <schedule_id>")
    .description("start the runs of a period")
    .requiredOption("--from <time>", "such as 2026-11-01T00:00:00Z")
    .requiredOption("--to <time>")
    .option("--overlap <policy>", "buffer_all by default")
    .action(async (id: string, { from, to, ...options }: { from: string; to: string; overlap?: string }) => {
      const result = await session().client().schedules.backfill(id, { startAt: from, endAt: to, ...options }, session().call);
      if (session().json) return printJson(wireOf(result));
      print(`${result.backfilled} runs`);
    });
  schedules
    .command("delete <schedule_id>")
    .description("delete a schedule; its running jobs continue")
    .action(async (id: string) => {
      await session().client().schedules.delete(id, session().call);
      if (session().json) printJson(null);
    });
}

async function create(session: Session, options: CreateOptions): Promise<void> {
  const { agent, workflow, overlap, name, paused, idempotencyKey } = options;
  if ((agent === undefined) === (workflow === undefined)) throw new UsageError("give either --agent or --workflow");
  const schedule = await session.client().schedules.create(
    {
      ...(agent === undefined ? { workflowId: workflow as string } : { agentId: agent }),
      input: readInput(options.input),
      spec: specOf(options),
      ...(overlap === undefined ? {} : { overlap }),
      ...(name === undefined ? {} : { name }),
      ...(paused === undefined ? {} : { paused }),
    },
    { ...session.call, ...(idempotencyKey === undefined ? {} : { idempotencyKey }) },
  );
  if (session.json) printJson(wireOf(schedule));
  else print(schedule.scheduleId);
}

function specOf({ cron, every, timeZone, spec }: CreateOptions): SpecRequest {
  if (spec !== undefined) {
    if (cron.length > 0 || every !== undefined || timeZone !== undefined) throw new UsageError("--spec has all times: leave out --cron, --every and --time-zone");
    return readInput(spec) as SpecRequest;
  }
  if (cron.length === 0 && every === undefined) throw new UsageError("a schedule needs times: give --cron, --every or --spec");
  return {
    ...(cron.length > 0 ? { cron } : {}),
    ...(every === undefined ? {} : { intervals: [{ everySeconds: every }] }),
    ...(timeZone === undefined ? {} : { timeZone }),
  };
}

function show(session: Session, schedule: Schedule): void {
  if (session.json) return printJson(wireOf(schedule));
  print(table(["SCHEDULE", "RUNS", "PAUSED", "NEXT", "NAME"], [row(schedule)]));
  if (schedule.note) print(`note: ${schedule.note}`);
  print(["next:", ...schedule.nextRuns].join("\n  "));
  if (schedule.recentRuns.length > 0) print(["last:", ...schedule.recentRuns.map((run) => `${run.startedAt}  ${run.jobId}`)].join("\n  "));
}

function row(schedule: Schedule): (string | number | null | undefined)[] {
  const next = schedule.paused ? null : schedule.nextRuns[0];
  return [schedule.scheduleId, schedule.workflowId ?? schedule.agentId, schedule.paused ? "yes" : "no", next, schedule.name];
}
