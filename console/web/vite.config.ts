import { defineConfig } from "vite";

/** A gateway to work against, such as http://localhost:8080; the page itself comes from Vite then. */
const gateway = process.env["TALLYPORT_ORIGIN"];
const forwarded = ["session", "sessions", "renew", "sign-out", "sign-in", "callback", "api", "audit"];
const toGateway = { target: gateway ?? "", changeOrigin: true, headers: { origin: gateway ?? "" } };

export default defineConfig({
  base: "/console/",
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: {
    outDir: "../dist",
    emptyOutDir: true,
    sourcemap: false,
    // Floors of `light-dark()` and `:has()`: rewritten for older ones, the style sheet doubles.
    target: ["chrome123", "firefox121", "safari17.5"],
    modulePreload: false,
    assetsInlineLimit: 0,
    cssCodeSplit: false,
    reportCompressedSize: true,
    rolldownOptions: {
      output: {
        // No hashes: the gateway compiles these very names in, and says by ETag what changed.
        entryFileNames: "assets/app.js",
        assetFileNames: "assets/app[extname]",
        codeSplitting: false,
      },
    },
  },
  server: gateway
    ? { proxy: Object.fromEntries(forwarded.map((path) => [`/console/${path}`, toGateway])) }
    : {},
  test: { include: ["src/**/*.test.ts"], environment: "node" },
} as Parameters<typeof defineConfig>[0]);
