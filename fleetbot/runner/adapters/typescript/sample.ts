// A small adapter in TypeScript: it runs one program, logs its lines, and takes exit 0 for done.
// What starts processes is passed in, so nothing here depends on a JavaScript runtime.

import type {
  Adapter,
  Answer,
  Event,
  Finished,
  HealthLine,
  LaunchSpec,
  ReasonCode,
  Session,
} from "./adapter";
import type { Assignment, Lifecycle, ReceiptRequest } from "./wire";

export interface Child {
  readonly lines: AsyncIterable<string>;
  readonly exit: Promise<number>;
  kill(): Promise<void>;
}

export type Start = (
  argv: readonly string[],
  env: Readonly<Record<string, string>>,
  workdir: string,
) => Promise<Child>;

class CommandSession implements Session {
  private stopped: ReasonCode | null = null;

  constructor(private readonly child: Child) {}

  async *events(): AsyncIterable<Event> {
    let last = "";
    for await (const text of this.child.lines) {
      last = text || last;
      yield { type: "log", text, kind: "assistant" };
    }
    yield this.finished(await this.child.exit, last);
  }

  async steer(_text: string): Promise<"delivered" | "kept"> {
    return "kept";
  }

  async answer(_question: string, _answer: Answer): Promise<boolean> {
    return false;
  }

  async stop(reason: ReasonCode): Promise<void> {
    this.stopped ??= reason;
    await this.child.kill();
  }

  private finished(code: number, last: string): Finished {
    if (this.stopped !== null) {
      const outcome = this.stopped === "cancelled_by_user" ? "cancelled" : "failed";
      return { type: "finished", outcome, reason: this.stopped };
    }
    if (code === 0) return { type: "finished", outcome: "done", summary: last };
    const detail = `exit status ${code}`;
    return { type: "finished", outcome: "failed", reason: "agent_failed", detail };
  }
}

export class CommandAdapter implements Adapter {
  readonly name = "sample";

  constructor(
    private readonly argv: readonly string[],
    private readonly start: Start,
  ) {}

  async check(_env: Readonly<Record<string, string>>, _home: string): Promise<HealthLine[]> {
    return [{ name: "program", ok: this.argv.length > 0, detail: this.argv.join(" ") }];
  }

  async launch(spec: LaunchSpec): Promise<Session> {
    return new CommandSession(await this.start([...this.argv, spec.prompt], spec.env, spec.workdir));
  }
}

/** One task from claim to receipt; `work` does the git part and says what came of it. */
export async function serve(
  life: Lifecycle,
  work: (order: Assignment) => Promise<ReceiptRequest>,
): Promise<void> {
  await life.register({ name: "sample-1", adapter: "sample", max_concurrency: 1 });
  const order = await life.claim({ wait: 25 });
  if (order !== null) {
    await life.start(order.run);
    const answer = await life.submitReceipt(await work(order));
    if (answer.verdict === "refuted") {
      await life.fail(order.run, { reason: "receipt_refuted", detail: answer.reasons?.join("; ") });
    }
  }
  await life.deregister();
}
