import { describe, expect, it } from "vitest";
import { Shares } from "./shares.ts";

describe("Shares", () => {
  it("starts a new share at the least served one that competes", () => {
    const shares = new Shares();
    shares.serve("a", 100);
    shares.serve("b", 60);
    shares.compete(["a", "b"]);
    expect(shares.served("new")).toBe(60);
    shares.serve("b", 10);
    expect([shares.served("a"), shares.served("b"), shares.served("new")]).toEqual([100, 70, 60]);
  });

  it("ignores a share that does not compete", () => {
    const shares = new Shares();
    shares.serve("paused", 10);
    shares.serve("a", 100);
    shares.compete(["paused", "a"]);
    shares.serve("a", 900);
    shares.compete(["a"]);
    expect([shares.served("new"), shares.served("paused")]).toEqual([1000, 1000]);
  });

  it("keeps the credit of a share when a less served one arrives", () => {
    const shares = new Shares();
    shares.serve("a", 100);
    shares.compete(["a"]);
    shares.serve("a", 50);
    shares.serve("b", 10);
    shares.compete(["a", "b"]);
    expect([shares.served("a"), shares.served("b"), shares.served("new")]).toEqual([150, 110, 110]);
    shares.compete(["a"]);
    shares.compete(["a", "new"]);
    expect(shares.served("new")).toBe(150);
  });

  it("remembers shares above the floor only", () => {
    const shares = new Shares();
    shares.serve("regular", 1);
    for (let i = 0; i < 1000; i++) {
      shares.serve(`once ${i}`, 50);
      shares.compete(["regular", `once ${i}`]);
      shares.serve("regular", 10);
    }
    expect(shares.served("once 999")).toBeGreaterThan(shares.served("regular"));
    expect(shares.size).toBeLessThan(10);
    shares.clear();
    expect([shares.size, shares.served("regular")]).toEqual([0, 0]);
  });
});
