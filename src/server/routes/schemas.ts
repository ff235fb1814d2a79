import type { z } from "@hono/zod-openapi";

/** A response with a JSON body. */
export const json = <T extends z.ZodType>(schema: T, description: string) => ({
  content: { "application/json": { schema } },
  description,
});
