import { createRoute, z } from "@hono/zod-openapi";

/** What GET /openapi.json says of a path that takes and returns JSON. `keys` of the body; unknown ones are allowed. */
export function postRoute(path: string, description: string, keys: z.ZodRawShape = { model: z.string() }) {
  const schema = z.looseObject(keys);
  return createRoute({
    method: "post",
    path,
    request: { body: { content: { "application/json": { schema } } } },
    responses: { 200: { content: { "application/json": { schema: z.looseObject({}) } }, description } },
  });
}
