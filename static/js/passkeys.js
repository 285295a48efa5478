"use strict";

// Passkeys. A form with `data-passkey` is sent once the browser has made or used a passkey: the
// result goes into its `credential` field. Options come with the page as JSON, or from the address
// in `data-options`.

const encode = (buffer) =>
  btoa(String.fromCharCode(...new Uint8Array(buffer)))
    .replaceAll("+", "-")
    .replaceAll("/", "_")
    .replaceAll("=", "");

const decode = (text) =>
  Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));

const withBytes = (list) => list?.map((entry) => ({ ...entry, id: decode(entry.id) }));

/** What the server offers, with bytes where the browser wants bytes. */
function parsed(options) {
  const { publicKey } = options;
  return {
    publicKey: {
      ...publicKey,
      challenge: decode(publicKey.challenge),
      ...(publicKey.user && { user: { ...publicKey.user, id: decode(publicKey.user.id) } }),
      ...(publicKey.allowCredentials && {
        allowCredentials: withBytes(publicKey.allowCredentials),
      }),
      ...(publicKey.excludeCredentials && {
        excludeCredentials: withBytes(publicKey.excludeCredentials),
      }),
    },
  };
}

/** What the browser answers, as the JSON the server expects. */
function serialized(credential) {
  const { response } = credential;
  const fields = ["clientDataJSON", "attestationObject", "authenticatorData", "signature"];
  const answer = Object.fromEntries(
    fields.filter((name) => response[name]).map((name) => [name, encode(response[name])]),
  );
  if (response.userHandle) answer.userHandle = encode(response.userHandle);
  if (response.getTransports) answer.transports = response.getTransports();
  return JSON.stringify({
    id: credential.id,
    rawId: encode(credential.rawId),
    type: credential.type,
    authenticatorAttachment: credential.authenticatorAttachment,
    clientExtensionResults: credential.getClientExtensionResults(),
    response: answer,
  });
}

async function options(form) {
  const script = form.querySelector('script[type="application/json"]');
  if (script) return parsed(JSON.parse(script.textContent));
  const answer = await fetch(form.dataset.options, { headers: { Accept: "application/json" } });
  if (!answer.ok) throw new Error(`options: ${answer.status}`);
  return parsed((await answer.json()).request_options);
}

async function credential(form) {
  const offered = await options(form);
  if (form.dataset.passkey === "get") return navigator.credentials.get(offered);
  // A passkey signs in by itself: it is kept on the device and asks for finger, face or PIN.
  offered.publicKey.authenticatorSelection = {
    ...offered.publicKey.authenticatorSelection,
    residentKey: "required",
    requireResidentKey: true,
    userVerification: "required",
  };
  return navigator.credentials.create(offered);
}

/** Why it did not work, and what to do. */
function problem(error) {
  if (/^[\d.]+$|^\[/.test(location.hostname)) {
    const port = location.port ? `:${location.port}` : "";
    return `Passkeys need a host name. Open this page as http://localhost${port} and try again.`;
  }
  if (!window.PublicKeyCredential)
    return "This browser cannot use passkeys here. Try another browser, or another way.";
  return (
    {
      NotAllowedError: "No passkey was used. Try again when you are ready.",
      InvalidStateError: "This device has a passkey for your account already.",
      SecurityError: "Passkeys need a secure connection (https).",
      NotSupportedError: "This device cannot make a passkey.",
    }[error.name] ?? "That did not work. Reload the page and try again."
  );
}

document.addEventListener("submit", async (event) => {
  const form = event.target.closest("form[data-passkey]");
  if (!form) return;
  event.preventDefault();
  const notice = form.querySelector("[data-problem]");
  const button = form.querySelector("button");
  notice.hidden = true;
  button.setAttribute("aria-busy", "true");
  try {
    form.elements.credential.value = serialized(await credential(form));
    form.submit();
  } catch (error) {
    notice.textContent = problem(error);
    notice.hidden = false;
  } finally {
    button.removeAttribute("aria-busy");
  }
});

// Sent by itself the form would say nothing of a passkey, so its button waits for what is above.
for (const button of document.querySelectorAll("form[data-passkey] button")) button.disabled = false;
