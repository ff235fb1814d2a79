import { createRoute, z } from "@hono/zod-openapi";
import { IdlmError } from "../../errors.ts";
import type { AddRoutes } from "../context.ts";
import type { Models } from "../models/models.ts";
import { addRoute } from "../route.ts";
import { json } from "./schemas.ts";

/** Interval of looking for requests while the machine is measured: shorter ones disturb no median. */
const LOOK_MS = 20;

/** Measures the machine, only when it is asked for. Concurrent calls share one measurement. */
export const addDoctorRoute: AddRoutes = (app, { doctor, models }) => {
  let running: Promise<object> | undefined;
  addRoute(app, doctorRoute, async (exchange) => {
    if (doctor === undefined) throw new IdlmError("not-offered", { path: exchange.path, hint: "Run idlm doctor." });
    running ??= whileWatched(models, doctor).finally(() => {
      running = undefined;
    });
    exchange.send(200, await running);
  });
};

/** What `measure` returns, and whether sequences were generated meanwhile. */
async function whileWatched(models: Models, measure: () => Promise<object>): Promise<object> {
  let disturbed = false;
  const look = () => {
    disturbed ||= models.measured().some(({ stats }) => stats().sequences.length > 0);
  };
  look();
  const timer = setInterval(look, LOOK_MS);
  try {
    const measured = await measure();
    look();
    return { ...measured, disturbed };
  } finally {
    clearInterval(timer);
  }
}

const doctorRoute = createRoute({
  method: "post",
  path: "/doctor",
  responses: {
    200: json(
      z.object({
        report: z.string().describe("what idlm doctor prints"),
        figures: z.record(z.string(), z.unknown()).describe("the same as JSON"),
        disturbed: z.boolean().describe("whether requests ran meanwhile, which disturbs the figures"),
      }),
      "The machine's roofs and the speed-up that follows; measuring takes seconds and slows down what runs meanwhile.",
    ),
  },
});
