// `.well-known` files that name canisters, from the environment of the build: what is not known is left out.
//
// `ic-architecture` tells programs which canisters belong to this site and what each is for. Custom domains need `ic-domains`, and other
// origins that shall give the same Internet Identity principal `ii-alternative-origins`: lists of names, separated by commas.
import type { Plugin } from "vite";

const list = (name: string): string[] => (process.env[name] ?? "").split(",").map((entry) => entry.trim()).filter(Boolean);

export function wellKnown(): Plugin {
  return {
    name: "assay-well-known",
    apply: "build",
    generateBundle() {
      const emit = (name: string, source: string): void => void this.emitFile({ type: "asset", fileName: `.well-known/${name}`, source });
      const roles = {
        registry: "Providers, workers and models. Read get_api_doc.",
        jobs: "Requests, escrow, verdicts and certified receipts. Read get_api_doc.",
        frontend: "Serves this page as certified assets.",
      };
      const canisters = Object.entries(roles).flatMap(([name, role]) => {
        const id = process.env[`ASSAY_CANISTER_${name.toUpperCase()}`];
        return id === undefined ? [] : [{ id, name, role }];
      });
      emit("ic-architecture", `${JSON.stringify({ version: 1, canisters }, null, 2)}\n`);
      const domains = list("ASSAY_DOMAINS");
      if (domains.length > 0) emit("ic-domains", `${domains.join("\n")}\n`);
      emit("ii-alternative-origins", `${JSON.stringify({ alternativeOrigins: list("ASSAY_ALTERNATIVE_ORIGINS") })}\n`);
    },
  };
}
