import { render } from "preact";
import "uplot/dist/uPlot.min.css";
import "./style/base.css";
import "./style/chat.css";
import "./style/rounds.css";
import "./style/pages.css";
import { watchServer } from "./server-watch.ts";
import { App } from "./views/app.tsx";

const root = document.getElementById("app");
if (root !== null) render(<App />, root);
watchServer();
