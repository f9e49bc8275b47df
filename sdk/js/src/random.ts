/** 22 characters of base64url, of 128 random bits and some: a session, or an id that no other tab draws. */
export const randomId = (): string =>
  btoa(String.fromCharCode(...crypto.getRandomValues(new Uint8Array(17)))).replace(/\W/g, "_").slice(0, 22);
