import { describe, expect, it } from "vitest";
import { wrongKey } from "../../engine/request/request-values.ts";
import { type ErrorCode, errorCatalogue, IdlmError } from "../../errors.ts";
import { openAiError } from "./response.ts";

const typeOf = (error: unknown) => (openAiError(error, {}).body as { error: { type: string } }).error.type;

describe("openAiError", () => {
  it.each(Object.entries(errorCatalogue))("%s has the status of the catalogue and its type", (code, { http }) => {
    const error = new IdlmError(code as ErrorCode);
    expect(openAiError(error, {}).status).toBe(http);
    const type = http === 429 ? "rate_limit_error" : http >= 500 ? "server_error" : "invalid_request_error";
    expect(typeOf(error)).toBe(type);
  });

  it("uses the request's names of keys", () => {
    const error = wrongKey("topP", "wrong", "Correct it.");
    expect(openAiError(error, { topP: "top_p" })).toEqual({
      status: 400,
      body: {
        error: { message: "top_p: wrong. Correct it.", type: "invalid_request_error", param: "top_p", code: "usage" },
      },
    });
  });

  it("has the API's codes", () => {
    const codeOf = (code: ErrorCode) =>
      (openAiError(new IdlmError(code), {}).body as { error: { code: string } }).error.code;
    expect(codeOf("context-too-long")).toBe("context_length_exceeded");
    expect(codeOf("model-not-found")).toBe("model_not_found");
    expect(codeOf("unauthorized")).toBe("invalid_api_key");
    expect(codeOf("queue-full")).toBe("rate_limit_exceeded");
  });

  it("is a server error if it is not in the catalogue", () => {
    expect(openAiError(new Error("oops"), {})).toMatchObject({
      status: 500,
      body: { error: { message: "oops", type: "server_error", code: "unexpected" } },
    });
  });
});
