// Runs named steps in order; prints what each returned, or its error, as one JSON object. Clients are taken from the
// folder that CLIENTS names, what a step needs to know from INPUT.
const { createRequire } = require("node:module");

exports.client = createRequire(process.env.CLIENTS + "/");
exports.input = JSON.parse(process.env.INPUT);

exports.run = async (steps) => {
  const results = {};
  for (const [name, step] of Object.entries(steps)) {
    try {
      results[name] = { value: (await step()) ?? null };
    } catch (error) {
      results[name] = { error: String(error.errorCode ?? error.response?.data?.errorCode ?? error.message) };
    }
  }
  process.stdout.write(JSON.stringify(results), () => process.exit());
};
