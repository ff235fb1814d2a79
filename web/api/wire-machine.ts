/** What the page reads of the server's answer to POST /doctor. */

interface WireRoofs {
  readonly bandwidthGBs: number;
  readonly productsPerSecond: number;
}

/** A forward of so many rows. Times in milliseconds. */
export interface WireRows {
  readonly rows: number;
  readonly ms: number;
  readonly overOneRow: number;
  readonly readMs: number;
  readonly computeMs: number;
  readonly roofMs: number;
  /** roofMs / ms */
  readonly shareOfRoof: number;
  readonly roofOverOneRow: number;
}

export interface WireSpeedUp {
  readonly rows: number;
  readonly tokensPerForward: number;
  readonly measured: number;
  readonly byRoofs: number;
}

export interface WireNative extends WireRoofs {
  readonly instructionSet: string;
  readonly threads: number;
  readonly oneThread: WireRoofs;
  readonly siblings: { readonly reported?: boolean; readonly measured?: boolean };
}

export interface WireModel {
  readonly name: string;
  readonly bytesPerForward: number;
  readonly productsPerRow: number;
  readonly roofsMeetAtRows: number;
  readonly contextTokens: number;
  readonly rows: readonly WireRows[];
  readonly speedUps: readonly WireSpeedUp[];
}

export interface WireFigures {
  readonly cpu: string;
  readonly cores: number;
  /** Absent where the native backend is missing. */
  readonly native?: WireNative;
  readonly model?: WireModel;
}

export interface WireDoctor {
  /** As idlm doctor prints it. */
  readonly report: string;
  readonly figures: WireFigures;
  /** Whether requests ran meanwhile. */
  readonly disturbed: boolean;
}
