// The flows that Restate calls, by its TypeScript SDK: node restate_service.mjs PORT STEPS
import * as restate from "@restatedev/restate-sdk";

const port = Number(process.argv[2]);
const steps = Number(process.argv[3]);

async function flow(context) {
  const laps = [];
  let last = performance.now();
  for (let number = 0; number < steps; number++) {
    await context.run(`nothing${number}`, () => number);
    const now = performance.now();
    laps.push(now - last);
    last = now;
  }
  return laps;
}

restate.serve({ services: [restate.service({ name: "bench", handlers: { flow } })], port });
