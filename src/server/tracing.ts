import { context, propagation, SpanKind, SpanStatusCode, trace } from "@opentelemetry/api";
import packageJson from "../../package.json" with { type: "json" };
import type { Exchange } from "./exchange.ts";

/**
 * Records a request as a span, as the conventions of OpenTelemetry for HTTP servers name its attributes. Costs nothing
 * unless the process has an SDK of OpenTelemetry.
 */
export function traceRequest(exchange: Exchange): void {
  const { incoming, outgoing, path, api } = exchange;
  const parent = propagation.extract(context.active(), incoming.headers);
  const attributes = { "http.request.method": incoming.method ?? "", "url.path": path, "idlm.api": api.name };
  const span = trace
    .getTracer("idlm", packageJson.version)
    .startSpan(`${incoming.method} ${path}`, { kind: SpanKind.SERVER, attributes }, parent);
  outgoing.once("close", () => {
    if (outgoing.headersSent) span.setAttribute("http.response.status_code", outgoing.statusCode);
    if (exchange.model !== undefined) span.setAttribute("gen_ai.request.model", exchange.model);
    if (outgoing.statusCode >= 500) span.setStatus({ code: SpanStatusCode.ERROR });
    span.end();
  });
}
