/** Which question is being edited. */
export const editing: { turn: string } = $state({ turn: "" });
