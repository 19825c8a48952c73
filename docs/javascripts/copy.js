// What is copied from an interactive example is code that runs: no prompts, no outputs.
document.addEventListener("copy", (event) => {
  const text = event.target.value ?? String(document.getSelection())
  const lines = text.split("\n").filter((line) => /^(>>>|\.\.\.)( |$)/.test(line))
  if (!lines.some((line) => line.startsWith(">>>"))) return
  event.clipboardData.setData("text/plain", lines.map((line) => line.slice(4)).join("\n"))
  event.preventDefault()
})
