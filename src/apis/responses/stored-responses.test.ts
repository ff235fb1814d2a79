import { describe, expect, it } from "vitest";
import { StoredResponses } from "./stored-responses.ts";

const stored = (id: string, previous?: string, owner = "a") => ({
  response: { id },
  messages: [{ role: "user" as const, content: id }],
  ...{ previous, owner },
});

describe("StoredResponses", () => {
  it("joins the messages of a chain", () => {
    const responses = new StoredResponses();
    for (const one of [stored("1"), stored("2", "1"), stored("3", "2")]) responses.add(one);
    expect(responses.conversation("3", "a")?.map(({ content }) => content)).toEqual(["1", "2", "3"]);
    expect(responses.delete("2", "a")).toBe(true);
    expect(responses.delete("2", "a")).toBe(false);
    expect(responses.conversation("3", "a")).toBeUndefined();
    expect(responses.get("3", "a")).toEqual(stored("3", "2"));
  });

  it("shows a response to its owner only", () => {
    const responses = new StoredResponses();
    responses.add(stored("1"));
    expect(responses.get("1", "b")).toBeUndefined();
    expect(responses.conversation("1", "b")).toBeUndefined();
    expect(responses.delete("1", "b")).toBe(false);
    expect(responses.get("1", "a")).toBeDefined();
  });

  it("finds items by their ids", () => {
    const responses = new StoredResponses();
    const id = "0123456789abcdef0123456789abcdef";
    const output = [{ id: `rs_${id}0` }, { id: `msg_${id}1` }];
    responses.add({ ...stored("1"), response: { id: `resp_${id}`, output } });
    expect(responses.item(`msg_${id}1`, "a")).toBe(output[1]);
    for (const other of [`fc_${id}1`, `msg_${id}2`, "msg_1", ""]) expect(responses.item(other, "a")).toBeUndefined();
    expect(responses.item(`msg_${id}1`, "b")).toBeUndefined();
  });

  it("drops what was used longest ago", () => {
    const few = new StoredResponses(3);
    for (const one of [stored("1"), stored("2", "1"), stored("other")]) few.add(one);
    few.conversation("2", "a");
    few.add(stored("new"));
    expect(["1", "2", "other", "new"].map((id) => few.get(id, "a") !== undefined)).toEqual([true, true, false, true]);
    const { length } = JSON.stringify(stored("1"));
    const small = new StoredResponses(100, 2 * length);
    for (const one of [stored("1"), stored("2"), stored("3")]) small.add(one);
    expect(["1", "2", "3"].map((id) => small.get(id, "a") !== undefined)).toEqual([false, true, true]);
  });
});
