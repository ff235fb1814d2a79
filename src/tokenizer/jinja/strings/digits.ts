/** Python's `str.isdecimal`, `str.isdigit` and `str.isnumeric`, for one character. */

export const decimal = /\p{Nd}/u;

/** Digits that are not decimal: superscripts, circled digits and the like. */
const otherDigits =
  /[²³¹\u1369-\u1371\u19da⁰⁴-⁹₀-₉①-⑨⑴-⑼⒈-⒐⓪⓵-⓽⓿❶-❾➀-➈➊-➒\u{10a40}-\u{10a43}\u{10e60}-\u{10e68}\u{11052}-\u{1105a}\u{1f100}-\u{1f10a}]/u;
export const digit = new RegExp(`${decimal.source}|${otherDigits.source}`, "u");

/** Ideographs that stand for numbers, which Unicode counts as letters. */
const ideographs =
  "㐅㒃㠪㭍一七万三九二五亖亿什仟仨伍佰億兆兩八六十千卄卅卌叁参參叄四壱壹幺廾廿弌弍弎弐拾捌柒漆玖百肆萬貮貳贰阡陆陌陸零" +
  "\uf96b\uf973\uf978\uf9b2\uf9d1\uf9d3\uf9fd" +
  "𠀁𠁤𠃢𠄡𠤪𠦃𠦌𠦜𠫪𠫽𠬙𢎐𢦘𣬛𦉭\u{2f890}";
export const numeric = new RegExp(`[\\p{N}${ideographs}]`, "u");
