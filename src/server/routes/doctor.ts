import { createRoute, z } from "@hono/zod-openapi";
import { IdlmError } from "../../errors.ts";
import type { AddRoutes } from "../context.ts";
import { addRoute } from "../route.ts";

/** Measures the machine. Concurrent calls share one measurement. */
export const addDoctorRoute: AddRoutes = (app, { doctor }) => {
  let running: Promise<string> | undefined;
  addRoute(app, doctorRoute, async (exchange) => {
    if (doctor === undefined) throw new IdlmError("not-offered", { path: exchange.path, hint: "Run idlm doctor." });
    running ??= doctor().finally(() => {
      running = undefined;
    });
    exchange.send(200, { report: await running });
  });
};

const doctorRoute = createRoute({
  method: "post",
  path: "/doctor",
  responses: {
    200: {
      content: { "application/json": { schema: z.object({ report: z.string() }) } },
      description: "what idlm doctor prints; takes seconds, and slows down what runs meanwhile",
    },
  },
});
