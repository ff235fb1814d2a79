// What a thread does: loads models, writes by each proposer, scores, disposes of one of them.

/** Calls `stage` with the name of each stage when it begins. Returns the tokens of its texts. */
export async function write({ library, model: path, adapter, threads = 2 }, stage) {
  const { load } = await import(library);
  const loading = [1, 2, 3].map(() => load(path, { adapter, threads }));
  stage("loading");
  const [model, other, unused] = await Promise.all(loading);
  await unused.dispose();
  const ids = Array.from({ length: 200 }, (_, i) => 3 + (i % 50));
  const tokens = [];
  for (const propose of ["none", "mask", "lookup"]) {
    const request = { ids, maxTokens: 24, propose, temperature: 1, logitBias: { 0: -100, 1: -100, 2: -100 } };
    const writing = [model, other].map((each) => each.generate(request));
    stage(`prompt, ${propose}`);
    let isFirst = true;
    for await (const part of writing[0]) {
      if (isFirst && part.tokens.length > 0) stage(`writing, ${propose}`);
      isFirst = false;
    }
    const [own, others] = await Promise.all(writing.map(({ result }) => result));
    if (own.sha256 !== others.sha256) throw new Error("two models wrote different texts");
    tokens.push(...own.tokens);
  }
  const scored = model.score({ ids });
  stage("scoring");
  tokens.push(Math.round((await scored).perplexity));
  const disposed = model.dispose();
  stage("disposing");
  await disposed;
  // The other one is never disposed of.
  return tokens;
}
