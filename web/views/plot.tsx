import { useLayoutEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import { look } from "../state.ts";

/** A colour of the style sheet, by the name of its variable without the dashes. */
export type Colour = (name: string) => string;

interface PlotProps {
  readonly height: number;
  /** Everything but the size; asked again where the colours change. */
  readonly options: (colour: Colour) => Omit<uPlot.Options, "width" | "height">;
  readonly data: uPlot.AlignedData;
  /** What is read aloud in place of the picture. */
  readonly label: string;
}

/** A chart as wide as its place. */
export function Plot({ height, options, data, label }: PlotProps) {
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | undefined>(undefined);
  const colours = look.value;
  useLayoutEffect(() => {
    const { current: element } = place;
    if (element === null) return;
    const styles = getComputedStyle(document.documentElement);
    const rest = options((name) => styles.getPropertyValue(`--${name}`).trim());
    plot.current = new uPlot({ width: element.clientWidth, height, ...rest }, data, element);
    const observer = new ResizeObserver(() => plot.current?.setSize({ width: element.clientWidth, height }));
    observer.observe(element);
    return () => {
      observer.disconnect();
      plot.current?.destroy();
    };
  }, [colours]);
  useLayoutEffect(() => plot.current?.setData(data));
  return <div ref={place} class="chart" style={{ minHeight: `${height}px` }} role="img" aria-label={label} />;
}

/** How axes look. */
export function axisStyle(colour: Colour): uPlot.Axis {
  return {
    stroke: colour("muted"),
    grid: { stroke: colour("line"), width: 1 },
    ticks: { show: false },
    font: "11px system-ui",
  };
}
