import { useLayoutEffect, useRef } from "preact/hooks";
import { look } from "../../state.ts";

/** Colours of the styles, by the name of their variable. */
export type ColourOf = (name: string) => string;

export type Draw = (context: CanvasRenderingContext2D, width: number, height: number, colour: ColourOf) => void;

interface CanvasProps {
  readonly height: number;
  readonly draw: Draw;
}

/** A picture that is drawn anew with each rendering, sharp on every screen. Its meaning has to stand in text beside it. */
export function Canvas({ height, draw }: CanvasProps) {
  const ref = useRef<HTMLCanvasElement>(null);
  // Asking for the width in every frame would make the browser lay out the page each time.
  const width = useRef(0);
  const latest = useRef(draw);
  latest.current = draw;
  const colour = coloursOf(look.value);
  useLayoutEffect(() => {
    const { current: canvas } = ref;
    if (canvas === null) return;
    const observer = new ResizeObserver(() => {
      width.current = canvas.clientWidth;
      paint(canvas, width.current, height, latest.current, coloursOf(look.value));
    });
    observer.observe(canvas);
    return () => observer.disconnect();
  }, [height]);
  useLayoutEffect(() => {
    if (ref.current !== null) paint(ref.current, width.current, height, draw, colour);
  });
  return (
    <div aria-hidden="true">
      <canvas ref={ref} style={{ width: "100%", height: `${height}px`, display: "block" }} />
    </div>
  );
}

function paint(canvas: HTMLCanvasElement, width: number, height: number, draw: Draw, colour: ColourOf): void {
  const context = canvas.getContext("2d");
  if (context === null || width === 0) return;
  const ratio = window.devicePixelRatio || 1;
  const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== w || canvas.height !== h) [canvas.width, canvas.height] = [w, h];
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  draw(context, width, height, colour);
}

let known: { readonly look: string; readonly colours: Map<string, string> } | undefined;

/** Colours of a look; each is asked for once. */
function coloursOf(chosen: string): ColourOf {
  if (known?.look !== chosen) known = { look: chosen, colours: new Map() };
  const { colours } = known;
  return (name) => {
    const colour = colours.get(name) ?? getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
    colours.set(name, colour);
    return colour;
  };
}
