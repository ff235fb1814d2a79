/** Tasks; TOPIC, PROBLEM, LANGUAGE and PASSAGE stand for what they are about. */

export const TOPIC = "{topic}";
export const PROBLEM = "{problem}";
export const LANGUAGE = "{language}";
export const PASSAGE = "{passage}";

export const chatTasks: readonly string[] = [
  "Tell me about {topic}.",
  "What should I know about {topic}?",
  "I have been thinking about {topic} lately. What do you think?",
  "Why do people care about {topic}?",
  "Can you explain {topic} to a ten-year-old?",
  "Explain {topic} in simple words.",
  "What is the most interesting thing about {topic}?",
  "What do people often get wrong about {topic}?",
  "My friend keeps talking about {topic}. What can I say to join in?",
  "Write a short story about {topic}.",
  "Write a poem about {topic}.",
  "Write a funny dialogue between two people about {topic}.",
  "Write a letter to my grandmother about {topic}.",
  "Write a short blog post about {topic}.",
  "Write an email to a colleague about {topic}.",
  "Write a product description for something to do with {topic}.",
  "Write the opening of a novel that begins with {topic}.",
  "Tell me a joke about {topic}.",
  "How has {topic} changed over the last hundred years?",
  "Give me some advice on {topic}.",
  "I am new to {topic}. Where do I start?",
  "What are the pros and cons of {topic}?",
  "Do you like {topic}?",
  "What would the world be like without {topic}?",
  "Compare {topic} with something similar.",
  "How would you describe {topic} to somebody who has never heard of it?",
  "I had a bad experience with {topic} yesterday and I feel down. Can you cheer me up?",
  "Let's play a quiz about {topic}. Ask me the first question.",
  "Teach me something surprising about {topic}.",
  "What is a common problem with {topic}, and how is it solved?",
  "Describe a perfect day that has to do with {topic}.",
  "What question about {topic} would an expert ask?",
  "Pretend you are a tour guide and introduce me to {topic}.",
  "Write a speech of one minute about {topic}.",
  "hey, quick question about {topic}: is it worth the trouble?",
  "Is it true that {topic} is overrated?",
  "How do different cultures see {topic}?",
  "What does science say about {topic}?",
];

export const listTasks: readonly string[] = [
  "List five facts about {topic}.",
  "Give me ten tips for {topic}.",
  "Name three books or films that deal with {topic}, with one sentence each.",
  "Make a list of words that have to do with {topic}.",
  "What are the main steps when it comes to {topic}? Number them.",
  "List the advantages and disadvantages of {topic} in two bulleted lists.",
  "Give me five questions that I could ask about {topic}.",
  "Make a table with two columns, aspect and explanation, about {topic}.",
  "Suggest seven names for a club about {topic}.",
  "Write a checklist for {topic}.",
  "Make a plan for one week around {topic}, day by day.",
  "List common mistakes in {topic} and how to avoid them.",
  "Give me three short examples of {topic}.",
  "Rank four things about {topic} from least to most important.",
  "Write five headlines about {topic}.",
  "Give the key terms of {topic} as JSON with the keys term and meaning.",
];

export const codeTasks: readonly string[] = [
  "Write a {language} function that {problem}.",
  "Write a function in {language} that {problem}. Explain how it works.",
  "How do I write a {language} program that {problem}?",
  "Show me {language} code that {problem}, with comments.",
  "Write a {language} function that {problem}, and a few tests for it.",
  "I need a {language} script that {problem}. Keep it short.",
  "Explain step by step how a program that {problem} works, with an example in {language}.",
  "Write a class in {language} that {problem}.",
];

/** Turns of the user; the model answers each. */
export const codeTurns: readonly (readonly string[])[] = [
  ["Write a {language} function that {problem}.", "Now add error handling.", "Write a test for it."],
  ["Write a {language} function that {problem}.", "Can you explain the code line by line?"],
  ["Write a {language} function that {problem}.", "Rewrite it in JavaScript.", "Which of the two is faster?"],
  ["How do I write a program that {problem}?", "Show me that in {language}.", "Make it shorter, please."],
];

export const turnTasks: readonly (readonly string[])[] = [
  ["Tell me about {topic}.", "Can you give me an example?", "Thanks! What else should I know?"],
  ["What is special about {topic}?", "Why is that?", "Summarise what you said in one sentence."],
  ["Write a short story about {topic}.", "Give it a happy ending.", "Now suggest a title."],
  ["Write a paragraph about {topic}.", "Rewrite it in simpler words.", "Now make it sound more formal."],
  ["Write a paragraph about {topic}.", "Summarise it in one sentence."],
  ["Write a paragraph about {topic}.", "Turn it into a bulleted list."],
  ["Give me five ideas about {topic}.", "Tell me more about the second one."],
  ["Give me five ideas about {topic}.", "Give me five more.", "Which one is the best?"],
  ["hi", "I would like to talk about {topic}.", "I don't know much about it. What would you tell a beginner?"],
  ["Hello! How are you today?", "I'm fine. Today I read something about {topic}. Do you know anything about it?"],
  ["Explain {topic} to me.", "I don't understand. Can you use a simple comparison?", "Ah, I see. Thank you!"],
  ["I need help with {topic}.", "I have only one hour. What should I do first?", "And after that?"],
  ["Write a poem about {topic}.", "Make it shorter.", "Now write one without rhymes."],
  ["What are the pros and cons of {topic}?", "Which side do you find more convincing?", "Argue for the other side."],
  ["Let's have a conversation about {topic}. You start.", "That's interesting. Go on.", "I'm not sure I agree."],
  ["Write an email about {topic} to my landlord.", "Make it friendlier.", "Add a polite closing."],
  ["Ask me three questions about {topic}.", "To the first one: I don't know, to be honest. What is the answer?"],
  ['Translate the sentence "I like {topic}" into Spanish.', "And into French?"],
  ["What is the history of {topic}?", "And how is it today?", "What will it be like in fifty years?"],
  ["Plan a lesson about {topic} for children.", "How long would each part take?"],
];

/** The model writes the passage first. */
export const passageRequests: readonly string[] = [
  "Write a paragraph of about five sentences about {topic}.",
  "Write a short newspaper article about {topic}.",
  "Write a short encyclopedia entry about {topic}.",
  "Write a short personal diary entry about {topic}.",
];

export const passageTasks: readonly string[] = [
  "Summarise the following text in one sentence.\n\n{passage}",
  "Summarize this in two or three sentences:\n\n{passage}",
  "{passage}\n\nWhat is the main idea of this text?",
  "{passage}\n\nList the key points as bullets.",
  "Rewrite the following text in simpler words:\n\n{passage}",
  "Rewrite this text so that it is half as long:\n\n{passage}",
  "Make the following text more formal.\n\n{passage}",
  "Make this text sound friendlier and more casual:\n\n{passage}",
  "Give the text below a title and three keywords.\n\n{passage}",
  "Correct the spelling and grammar of this text:\n\n{passage}",
  "Turn the following text into a list of facts:\n\n{passage}",
  "Write three questions about this text and answer them.\n\n{passage}",
  "Continue the following text:\n\n{passage}",
  "Rewrite the text below in the past tense.\n\n{passage}",
  "{passage}\n\nExplain this to a child.",
  "{passage}\n\nDo you agree with this? Why?",
  "Turn this text into a dialogue between two friends:\n\n{passage}",
  "Write a short reply to the person who wrote this:\n\n{passage}",
  "Proofread the following text and repeat it with your corrections:\n\n{passage}",
  "Shorten this text to a tweet:\n\n{passage}",
];

/** The passage is what a person wrote in a chat. */
export const messageTasks: readonly string[] = [
  'Correct the spelling and grammar of this message: "{passage}"',
  'Rewrite this message in a polite and formal way: "{passage}"',
  "Make this message clearer: {passage}",
  'What does the writer of this message feel? "{passage}"',
  'Someone wrote to me: "{passage}" How should I answer?',
  "Write three different replies to this message: {passage}",
  'Summarise this message in a few words: "{passage}"',
  "Rewrite the following as an email with a greeting and a closing: {passage}",
  'Say the same in other words: "{passage}"',
  "Turn this into a short poem: {passage}",
  'Is this message friendly, neutral or rude? Explain. "{passage}"',
  'What questions could I ask somebody who says this? "{passage}"',
];

/** The passage is a chat of two people. */
export const conversationTasks: readonly string[] = [
  "Summarise this conversation:\n\n{passage}",
  "{passage}\n\nWhat are these two people talking about?",
  "Continue this conversation for a few lines:\n\n{passage}",
  "Rewrite the following chat in correct, complete sentences:\n\n{passage}",
  "{passage}\n\nWhat do you learn about A and B from this chat?",
];
