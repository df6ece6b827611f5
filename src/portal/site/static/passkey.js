// The one script of the portal: asks the browser for a passkey and puts the answer into the form.
// It reads nothing else, sends nothing itself, and keeps nothing.
(function () {
  "use strict";
  var form = document.getElementById("passkey");
  var field = document.getElementById("passkey-answer");
  if (!form || !field) { return; }
  function show(id) { document.getElementById(id).hidden = false; }
  function hide(id) { document.getElementById(id).hidden = true; }
  if (!window.PublicKeyCredential || !navigator.credentials) {
    show("passkey-unsupported");
    return;
  }

  function octets(text) {
    var plain = atob(text.replace(/-/g, "+").replace(/_/g, "/"));
    var out = new Uint8Array(plain.length);
    for (var i = 0; i < plain.length; i += 1) { out[i] = plain.charCodeAt(i); }
    return out;
  }
  function text(buffer) {
    var plain = "";
    new Uint8Array(buffer).forEach(function (octet) { plain += String.fromCharCode(octet); });
    return btoa(plain).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
  }
  function known(list) {
    return (list || []).map(function (entry) {
      var copy = { type: entry.type, id: octets(entry.id) };
      if (entry.transports) { copy.transports = entry.transports; }
      return copy;
    });
  }
  function ask() {
    var options = JSON.parse(form.getAttribute("data-options"));
    options.challenge = octets(options.challenge);
    if (form.getAttribute("data-ceremony") === "create") {
      options.user.id = octets(options.user.id);
      options.excludeCredentials = known(options.excludeCredentials);
      return navigator.credentials.create({ publicKey: options });
    }
    options.allowCredentials = known(options.allowCredentials);
    return navigator.credentials.get({ publicKey: options });
  }
  function answer(credential) {
    var said = credential.response;
    var out = {
      id: credential.id,
      rawId: text(credential.rawId),
      type: credential.type,
      response: { clientDataJSON: text(said.clientDataJSON) }
    };
    ["attestationObject", "authenticatorData", "signature", "userHandle"].forEach(function (name) {
      if (said[name]) { out.response[name] = text(said[name]); }
    });
    return JSON.stringify(out);
  }

  form.addEventListener("submit", function (event) {
    event.preventDefault();
    hide("passkey-failed");
    ask().then(function (credential) {
      field.value = answer(credential);
      form.submit();
    }).catch(function () {
      field.value = "";
      show("passkey-failed");
    });
  });
})();
