import { useLayoutEffect, useRef } from "preact/hooks";
import { theme } from "../../state.ts";

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
  // Colours follow the theme.
  theme.value;
  useLayoutEffect(() => {
    const { current: canvas } = ref;
    if (canvas === null) return;
    const paint = () => {
      const context = canvas.getContext("2d");
      const width = canvas.clientWidth;
      if (context === null || width === 0) return;
      const ratio = window.devicePixelRatio || 1;
      const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
      if (canvas.width !== w || canvas.height !== h) [canvas.width, canvas.height] = [w, h];
      context.setTransform(ratio, 0, 0, ratio, 0, 0);
      context.clearRect(0, 0, width, height);
      draw(context, width, height, colours());
    };
    paint();
    const observer = new ResizeObserver(paint);
    observer.observe(canvas);
    return () => observer.disconnect();
  });
  return (
    <div aria-hidden="true">
      <canvas ref={ref} style={{ width: "100%", height: `${height}px`, display: "block" }} />
    </div>
  );
}

function colours(): ColourOf {
  const styles = getComputedStyle(document.documentElement);
  const known = new Map<string, string>();
  return (name) => {
    const colour = known.get(name) ?? styles.getPropertyValue(`--${name}`).trim();
    known.set(name, colour);
    return colour;
  };
}
