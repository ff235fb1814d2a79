const date =
  "\\d{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\\d|3[01])|(?:0[469]|11)-(?:0[1-9]|[12]\\d|30)|02-(?:0[1-9]|1\\d|2[0-8]))";
const time = "(?:[01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(?:\\.\\d{1,9})?(?:Z|[+-](?:[01]\\d|2[0-3]):[0-5]\\d)";
const label = "[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?";
const hostname = `${label}(?:\\.${label}){0,3}`;
const byte = "(?:25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)";
const ipv4 = `${byte}(?:\\.${byte}){3}`;
const group = "[0-9a-fA-F]{1,4}";
const hexadecimal = (n: number) => `[0-9a-fA-F]{${n}}`;
const timeOfDuration = "T(?:\\d{1,9}H(?:\\d{1,9}M(?:\\d{1,9}S)?)?|\\d{1,9}M(?:\\d{1,9}S)?|\\d{1,9}S)";
const dateOfDuration = "(?:\\d{1,9}Y(?:\\d{1,9}M(?:\\d{1,9}D)?)?|\\d{1,9}M(?:\\d{1,9}D)?|\\d{1,9}D)";

/**
 * Regular expressions of the formats of strings. They may be narrower than the standard, never wider: dates have no 29
 * February, host names at most four labels.
 */
export const formats: Readonly<Record<string, string>> = {
  date,
  time,
  "date-time": `${date}T${time}`,
  duration: `P(?:\\d{1,9}W|${timeOfDuration}|${dateOfDuration}(?:${timeOfDuration})?)`,
  email: `[A-Za-z0-9_%+-]{1,32}(?:\\.[A-Za-z0-9_%+-]{1,15}){0,2}@${label}(?:\\.${label}){0,2}\\.[A-Za-z]{2,24}`,
  hostname,
  ipv4,
  ipv6: `(?:${group}:){7}${group}|(?:${group}:){1,6}:${group}|::(?:${group}:){0,6}${group}|::`,
  uri: `(?:https?|ftp)://${hostname}(?::[1-9]\\d{0,3})?(?:/[A-Za-z0-9._~!$&'()*+,;=:@-]*)*(?:\\?[A-Za-z0-9._~!$&'()*+,;=:@/?-]*)?(?:#[A-Za-z0-9._~!$&'()*+,;=:@/?-]*)?`,
  uuid: `${hexadecimal(8)}-${hexadecimal(4)}-${hexadecimal(4)}-${hexadecimal(4)}-${hexadecimal(12)}`,
  "json-pointer": "(?:/(?:[^~/]|~[01])*)*",
};
