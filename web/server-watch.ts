import { RequestFailure, request } from "./api/client.ts";
import { running } from "./conversation/send.ts";
import { connection, conversations, keep, loadModels, models, server } from "./state.ts";

const INTERVAL_MS = 5000;

/** Notices that the server is gone or back while nothing is asked of it, and keeps unfinished answers when the page closes. */
export function watchServer(): void {
  void checkServer();
  setInterval(() => {
    // A request that runs notices by itself.
    if (document.visibilityState === "visible" && running.value.size === 0) void checkServer();
  }, INTERVAL_MS);
  window.addEventListener("pagehide", () => {
    for (const conversation of conversations.value) if (running.value.has(conversation.id)) keep(conversation);
  });
}

/** Asks whether the server is there, ready and content with the key. */
export async function checkServer(): Promise<void> {
  try {
    await request(connection(), "/health");
    // Whether the key is right, and which models there are.
    if (models.value.length === 0 || server.value.kind !== "ready") await loadModels();
    server.value = { kind: "ready" };
  } catch (error) {
    if (!(error instanceof RequestFailure) || running.value.size > 0) return;
    const { kind, message, retryAfterSeconds = INTERVAL_MS / 1000 } = error;
    if (kind === "busy") server.value = { kind, message, seconds: retryAfterSeconds };
    else if (kind === "gone" || kind === "key") server.value = { kind, message };
  }
}
