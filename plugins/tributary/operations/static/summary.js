// A row of lights on Airflow's home page: one for each vendor and one for Salesforce, each a link to its Operations page.
// Airflow calls the function with its own React and Chakra UI.

globalThis["Operations today"] = function OperationsToday() {
  const { createElement, useEffect, useState } = globalThis.React;
  const { Box, Heading, HStack, Link, Text } = globalThis.ChakraUI;
  const [cards, setCards] = useState([]);
  const colors = { green: "fg.success", amber: "fg.warning", red: "fg.error", grey: "fg.muted" };
  const words = { green: "Good", amber: "Check", red: "Act", grey: "No data" };

  useEffect(() => {
    const read = () => fetch("operations/summary").then((response) => (response.ok ? response.json() : [])).then(setCards, () => setCards([]));
    read();
    const timer = setInterval(read, 60_000);
    return () => clearInterval(timer);
  }, []);

  const items = cards.map(({ title, page, light, text }) =>
    createElement(
      Box,
      { key: title, borderWidth: 1, borderRadius: "md", padding: 2, maxWidth: "16rem" },
      createElement(Link, { href: `plugin/operations/operations/${page}`, fontWeight: "bold" }, title),
      createElement(Text, { color: colors[light], fontWeight: "bold" }, words[light]),
      createElement(Text, { fontSize: "sm" }, text),
    ),
  );
  return createElement(
    Box,
    { marginBottom: 4 },
    createElement(Heading, { size: "md", marginBottom: 2 }, "Operations today"),
    createElement(HStack, { alignItems: "stretch", flexWrap: "wrap" }, ...items),
  );
};
globalThis.AirflowPlugin = globalThis["Operations today"];
