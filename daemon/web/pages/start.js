// Shows the document, once a token was given where the daemon wants one. The token stays in the page's memory.
"use strict";

const place = document.currentScript.dataset.document;
const form = document.getElementById("token");
let turn = 0;

async function show(token) {
  const mine = ++turn;
  const asked = await fetch(place, token ? { headers: { Authorization: `Bearer ${token}` } } : {});
  if (mine !== turn) return;
  form.hidden = asked.status !== 401;
  if (asked.status === 401) return;
  const ui = SwaggerUIBundle({
    spec: await asked.json(),
    dom_id: "#swagger-ui",
    deepLinking: true,
    displayRequestDuration: true,
    tryItOutEnabled: true,
    validatorUrl: null,
    onComplete: () => token && ui.preauthorizeApiKey("bearer", token),
  });
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  show(form.elements.token.value);
});
show("");
