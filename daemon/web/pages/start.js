// Shows the document, once a token was given where the daemon wants one. The token stays in the page's memory.
"use strict";

const place = document.currentScript.dataset.document;
const form = document.getElementById("token");
const refused = document.getElementById("refused");
let turn = 0;

async function show(token) {
  const mine = ++turn;
  const asked = await fetch(place, token ? { headers: { Authorization: `Bearer ${token}` } } : {});
  const told = await asked.json();
  if (mine !== turn) return;
  form.hidden = asked.ok;
  if (!asked.ok) return refuse(token, asked.status, told);
  const ui = SwaggerUIBundle({
    spec: told,
    dom_id: "#swagger-ui",
    deepLinking: true,
    displayRequestDuration: true,
    tryItOutEnabled: true,
    validatorUrl: null,
    onComplete: () => token && ui.preauthorizeApiKey("bearer", token),
  });
}

function refuse(token, status, told) {
  const wrong = token ? "This token is not accepted." : "";
  refused.textContent = status === 401 ? wrong : `The document did not come: ${told.error}.`;
  form.elements.token.value = "";
  form.elements.token.focus();
}

// A header holds bytes; a token that is not ASCII is sent as UTF-8.
function bytesOf(text) {
  return String.fromCharCode(...new TextEncoder().encode(text.trim()));
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  refused.textContent = "";
  show(bytesOf(form.elements.token.value));
});
show("");
